#!/bin/sh
# Makes a virtual environment and installs this project into it:  scripts/venv.sh VENV REQUIREMENT
# With the versions of constraints.txt. Needs a Python that TensorFlow has a build for, and pip's index.
set -eu
venv=$1
requirement=$2

supported='import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))'
python=
for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
    if "$candidate" -c "$supported" >/dev/null 2>&1; then
        python=$candidate
        break
    fi
done
if [ -z "$python" ]; then
    found=$("${PYTHON:-python3}" --version 2>/dev/null || echo "no working ${PYTHON:-python3}")
    echo "conviction needs Python 3.11, 3.12 or 3.13, because TensorFlow has no build for others; found $found. Name one with: make demo PYTHON=/path/to/python3.12" >&2
    exit 2
fi

if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    # Debian's python3 comes without ensurepip, which venv needs; virtualenv brings its own pip.
    if ! "$python" -m venv --clear "$venv" >/dev/null 2>&1 &&
        ! "$python" -m virtualenv --quiet --clear "$venv" >/dev/null 2>&1; then
        rm -rf "$venv"
        version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        echo "$python cannot make virtual environments. On Debian or Ubuntu: apt install python$version-venv. Elsewhere: $python -m pip install virtualenv" >&2
        exit 2
    fi
fi
echo "Installing into $venv (TensorFlow is large: about 2 GB on disk, a minute or more)."
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    --constraint constraints.txt --editable "$requirement"
