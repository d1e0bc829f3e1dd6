#!/bin/sh
# In an image's build stage: third parties into /venv, at the versions of constraints.txt. Arguments are those of `uv pip install`;
# `install.sh light EXTRA` installs what a service needs, without what command lines and the hub's fastest downloads use.
# TORCH_BACKEND names PyTorch's index (cpu, cu130, ...); empty takes the package registry's torch, which is a CUDA build. A folder of
# wheels in PIP_FIND_LINKS takes the index's place, as in the Makefile.
set -eu
torch=${TORCH_BACKEND:+--torch-backend $TORCH_BACKEND}
if [ -n "${PIP_FIND_LINKS:-}" ]; then torch="--find-links $PIP_FIND_LINKS"; fi
if [ "$1" = light ]; then
    printf '%s ; python_version < "3"\n' typer rich hf-xet > /tmp/left-out
    shift && set -- --override /tmp/left-out -r pyproject.toml --extra "$@"
fi
python -m venv --without-pip /venv
python -m pip install --quiet --root-user-action ignore -c constraints.txt uv
# shellcheck disable=SC2086
python -m uv pip install --python /venv/bin/python --quiet --link-mode copy $torch -c constraints.txt "$@"
# What packages carry for their own tests, for compilers and for editors; nothing is compiled in these images.
site=$(echo /venv/lib/python3*/site-packages)
find "$site" -type d \( -name tests -o -path '*/torch/test' -o -path '*/torch/include' \) -prune -exec rm -rf {} +
find "$site" -type f ! -path '*/triton/*' \( -name '*.pyi' -o -name '*.pxd' -o -name '*.h' -o -name '*.hpp' -o -name '*.a' \) -delete
find "$site" -path '*/torch/bin/*' ! -name torch_shm_manager -delete
# Pillow's reader of AVIF pictures, which it does without; slides bring no pictures.
find "$site" \( -name '_avif*.so' -o -path '*/pillow.libs/libavif*' \) -delete
