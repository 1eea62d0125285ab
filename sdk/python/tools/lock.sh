#!/usr/bin/env bash
# Pins everything that dev.in leads to, with hashes, for Python 3.11 and later; it runs on 3.11.
set -euo pipefail
cd "$(dirname "$0")/.."
CUSTOM_COMPILE_COMMAND='tools/lock.sh' .venv/bin/pip-compile --quiet --generate-hashes \
	--allow-unsafe --strip-extras --no-emit-index-url --no-emit-trusted-host \
	--no-emit-find-links --output-file requirements/dev.txt "$@" requirements/dev.in
