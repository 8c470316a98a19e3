"""Makes .venv and installs a lock into it: `python3 cli/bootstrap.py requirements/local.txt ...`.

Runs on whatever Python a machine has, so that it can say what is wrong with it: no syntax here that an old one lacks,
nothing but the standard library, and nothing installed twice.
"""

import hashlib
import os
import subprocess
import sys

OLDEST, NEWEST = (
    (3, 10),
    (3, 14),
)  # what Lambda runs: https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html
VENV = os.environ.get("INTO", ".venv")
PYTHON = os.path.join(VENV, "bin", "python")


def main(locks):
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        stop(
            "this is Python %d.%d; Orderline needs 3.%d to 3.%d, as Lambda does"
            % (sys.version_info[0], sys.version_info[1], OLDEST[1], NEWEST[1]),
            "name another: make %s PYTHON=python3.12" % goal(),
        )
    if os.path.exists(PYTHON) and version_of(PYTHON) != list(sys.version_info[:2]):
        stop(
            "%s was made with another Python than %s" % (VENV, sys.executable),
            "remove it: rm -r %s" % VENV,
        )
    if not os.path.exists(PYTHON):
        say("making %s with Python %d.%d" % (VENV, sys.version_info[0], sys.version_info[1]))
        if subprocess.call([sys.executable, "-m", "venv", VENV]) != 0:
            stop(
                "no virtual environment could be made",
                "on Debian and Ubuntu: apt-get install python3-venv",
            )
    for lock in locks:
        install(lock)


def install(lock):
    """Once for each content of the lock: a stamp in .venv tells."""
    with open(lock, "rb") as file:
        digest = hashlib.sha256(file.read()).hexdigest()
    stamp = os.path.join(VENV, "installed-" + lock.replace(os.sep, "-"))
    if os.path.exists(stamp):
        with open(stamp) as file:
            if file.read() == digest:
                return
    say("installing %s (once, about half a minute)" % lock)
    pip = [
        PYTHON,
        "-m",
        "pip",
        "install",
        "-qq",
        "--disable-pip-version-check",
        "--only-binary",
        ":all:",
    ]
    if subprocess.call(pip + ["--require-hashes", "--requirement", lock]) != 0:
        stop(
            "%s could not be installed" % lock,
            "is there a network? pip's own words are above; then type it again",
        )
    with open(stamp, "w") as file:
        file.write(digest)


def version_of(python):
    out = subprocess.check_output(
        [python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    )
    return [int(part) for part in out.decode().split(".")]


def goal():
    return os.environ.get("GOAL", "run")


def say(text):
    sys.stdout.write("orderline: %s\n" % text)
    sys.stdout.flush()


def stop(fault, mend):
    sys.stderr.write("orderline: %s.\n  %s\n" % (fault, mend))
    sys.exit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
