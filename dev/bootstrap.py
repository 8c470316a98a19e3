"""Create .venv and install into it: `python3 dev/bootstrap.py requirements/local.txt client ...`.

Each argument is a lock, or the folder of a package of ours, which is installed editable, or
requirements/own.in, whose lock is installed if there is one.

This file must run on any Python, to be able to report one that is too old. It therefore uses only
old syntax and the standard library.
"""

import hashlib
import os
import re
import subprocess
import sys

# Lambda's runtimes: https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html
OLDEST = (3, 10)
NEWEST = (3, 14)
VENV = os.environ.get("INTO", ".venv")
PYTHON = os.path.join(VENV, "bin", "python")
OWN = "requirements/own.in"  # the user's own libraries
OWN_LOCK = "requirements/own.txt"


def main(names):
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        stop(
            "this is Python %d.%d; Orderline needs 3.%d to 3.%d, as Lambda does"
            % (sys.version_info[0], sys.version_info[1], OLDEST[1], NEWEST[1]),
            "choose another one: make %s PYTHON=python3.12" % goal(),
        )
    if OWN in names:
        problem = own_problem([name for name in names if name.endswith(".txt")])
        if problem:
            stop(problem, "run `make lock-own`")
        names = [OWN_LOCK if name == OWN else name for name in names]
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
    for name in names:
        if name == OWN_LOCK and not os.path.exists(name):
            continue
        if os.path.isdir(name):
            # The locks have its build backend and dependencies, so this needs no network
            options = ["--no-deps", "--no-build-isolation", "--editable", name]
            install(name, os.path.join(name, "pyproject.toml"), options)
        else:
            options = ["--only-binary", ":all:", "--require-hashes", "--requirement", name]
            install(name, name, options)


def install(name, source, options):
    """Run pip, unless the stamp in .venv shows that this content of `source` is installed."""
    with open(source, "rb") as file:
        digest = hashlib.sha256(file.read()).hexdigest()
    stamp = os.path.join(VENV, "installed-" + name.replace(os.sep, "-"))
    if os.path.exists(stamp):
        with open(stamp) as file:
            if file.read() == digest:
                return
    say("installing %s (only once, takes about half a minute)" % name)
    pip = [PYTHON, "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
    if subprocess.call(pip + options) != 0:
        stop(
            "could not install %s" % name,
            "see pip's message above, check your network connection and try again",
        )
    with open(stamp, "w") as file:
        file.write(digest)


def own_problem(locks, root="."):
    """Return why the lock of the user's own libraries does not fit the other locks, or None."""
    names = library_names(os.path.join(root, OWN))
    own = pins(os.path.join(root, OWN_LOCK))
    missing = sorted(name for name in names if name not in own)
    if missing:
        return "%s names %s, but %s does not" % (OWN, missing[0], OWN_LOCK)
    if own and not names:
        return "%s names no library, but there is %s" % (OWN, OWN_LOCK)
    for lock in locks:
        other = pins(os.path.join(root, lock))
        for name in sorted(own):
            if name in other and not own[name] <= other[name]:
                versions = (", ".join(sorted(own[name])), ", ".join(sorted(other[name])))
                return "%s has %s %s, but %s has %s" % (
                    OWN_LOCK,
                    name,
                    versions[0],
                    lock,
                    versions[1],
                )
    return None


def library_names(path):
    """Return the names of the libraries in an .in file, as locks write them."""
    found = re.findall(r"^ *([A-Za-z0-9][A-Za-z0-9._-]*)", read(path), re.MULTILINE)
    return [re.sub(r"[-_.]+", "-", name).lower() for name in found]


def pins(path):
    """Return the versions of each library in a lock; several, if they differ by Python version."""
    versions = {}
    for name, version in re.findall(r"^([a-z0-9-]+)==([^\s;]+)", read(path), re.MULTILINE):
        versions.setdefault(name, set()).add(version)
    return versions


def read(path):
    if not os.path.exists(path):
        return ""
    with open(path) as file:
        return file.read()


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
