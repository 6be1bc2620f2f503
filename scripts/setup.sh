# Sourced by scripts/demo and scripts/test: an environment of its own in .venv, installed once.
# PYTHON names another interpreter (3.11 or newer); ASSAY_VENV another place for the environment.

venv="${ASSAY_VENV:-$root/.venv}"
python="${PYTHON:-python3}"

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || {
    echo "Assay needs Python 3.11 or newer; PYTHON=/path/to/python3.11 $0 names one." >&2
    exit 2
}

stamp="$(cat "$root/pyproject.toml" "$root/scripts/constraints.txt" | cksum) $root"
if [ "$(cat "$venv/.assay" 2>/dev/null)" != "$stamp" ]; then
    echo "Installing into $venv (once)" >&2
    [ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
        --constraint "$root/scripts/constraints.txt" --editable "$root[test]"
    echo "$stamp" >"$venv/.assay"
fi

if ! command -v pdftoppm >/dev/null; then
    echo "Installing poppler (draws pages where pdfium cannot)" >&2
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        (apt-get update -qq && apt-get install -y -qq poppler-utils) >/dev/null 2>&1
    elif command -v sudo >/dev/null && sudo -n true 2>/dev/null && command -v apt-get >/dev/null; then
        (sudo -n apt-get update -qq && sudo -n apt-get install -y -qq poppler-utils) >/dev/null 2>&1
    elif command -v brew >/dev/null; then
        brew install --quiet poppler >/dev/null 2>&1
    fi || true
    command -v pdftoppm >/dev/null ||
        echo "poppler is missing and could not be installed here: apt install poppler-utils, or brew install poppler." >&2
fi
