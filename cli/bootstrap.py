"""Create .venv and install locks into it: `python3 cli/bootstrap.py requirements/local.txt ...`.

This file must run on any Python, to be able to report one that is too old. It therefore uses only
old syntax and the standard library.
"""

import hashlib
import os
import subprocess
import sys

# Lambda's runtimes: https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html
OLDEST = (3, 10)
NEWEST = (3, 14)
VENV = os.environ.get("INTO", ".venv")
PYTHON = os.path.join(VENV, "bin", "python")


def main(locks):
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        stop(
            "this is Python %d.%d; Orderline needs 3.%d to 3.%d, as Lambda does"
            % (sys.version_info[0], sys.version_info[1], OLDEST[1], NEWEST[1]),
            "choose another one: make %s PYTHON=python3.12" % goal(),
        )
    if os.path.exists(PYTHON) and version_of(PYTHON) != list(sys.version_info[:2]):
        stop(
            "%s was created by a different Python than %s" % (VENV, sys.executable),
            "remove it: rm -r %s" % VENV,
        )
    if not os.path.exists(PYTHON):
        say("creating %s with Python %d.%d" % (VENV, sys.version_info[0], sys.version_info[1]))
        if subprocess.call([sys.executable, "-m", "venv", VENV]) != 0:
            stop(
                "could not create a virtual environment",
                "on Debian and Ubuntu: apt-get install python3-venv",
            )
    for lock in locks:
        install(lock)


def install(lock):
    """Install a lock, unless the stamp in .venv shows that this content of it is installed."""
    with open(lock, "rb") as file:
        digest = hashlib.sha256(file.read()).hexdigest()
    stamp = os.path.join(VENV, "installed-" + lock.replace(os.sep, "-"))
    if os.path.exists(stamp):
        with open(stamp) as file:
            if file.read() == digest:
                return
    say("installing %s (only once, takes about half a minute)" % lock)
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
            "could not install %s" % lock,
            "see pip's message above, check your network connection and try again",
        )
    with open(stamp, "w") as file:
        file.write(digest)


def version_of(python):
    output = subprocess.check_output(
        [python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    )
    return [int(part) for part in output.decode().split(".")]


def goal():
    return os.environ.get("GOAL", "run")


def say(text):
    sys.stdout.write("orderline: %s\n" % text)
    sys.stdout.flush()


def stop(problem, hint):
    sys.stderr.write("orderline: %s.\n  %s\n" % (problem, hint))
    sys.exit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
