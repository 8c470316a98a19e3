// What a user of the generated TypeScript types writes. It is compiled, not run.
import type { components, operations } from "./api.js";

type NewOrder = components["schemas"]["NewOrder"];
type Order = components["schemas"]["Order"];
type Refusal = operations["place_order"]["responses"][422]["content"]["application/problem+json"];

export const right: NewOrder[] = [
  { task: "cook_nuggets", input: { pieces: 6 } },
  { task: "cook_nuggets", input: { pieces: 6, sauce: "curry" }, delay_s: 60 },
];
// @ts-expect-error: there is no such sauce
export const wrongSauce: NewOrder = { task: "cook_nuggets", input: { pieces: 6, sauce: "mustard" } };
// @ts-expect-error: the input is another task's
export const wrongInput: NewOrder = { task: "cook_nuggets", input: { image: "" } };

export const percent = (order: Order): number | undefined => order.progress?.percent;
export const attempts = (order: Order): (string | null)[] => (order.history ?? []).map((attempt) => attempt.code);
export const whatIsWrong = (problem: Refusal): [string, string | undefined] => [problem.type, problem.pointer];
