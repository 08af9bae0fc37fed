"""GGUF files, which many packages ship, turned into plain model folders that any Hugging Face tool reads.

The work is done in a process of its own: unpacking needs several times the file's size,
and the audit should not keep that memory afterwards.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from governance.backends.environment import child_environment
from governance.errors import BackendError, MissingExtra

MARKER = "converted.json"
DTYPES = ("bfloat16", "float32")
_MISSING = "missing: "


def fitting_dtype() -> str:
    """The precision to serve in on this processor: bfloat16 where it computes in it, else float32.

    SmolLM2-135M, one thread, a review: 0.25 s in bfloat16 and 0.5 s in float32 with AVX512-BF16; 1.9 s and
    0.5 s without. The answers may differ in a few rows, so a record should name the precision.
    """
    try:
        flags = set(Path("/proc/cpuinfo").read_text(encoding="utf-8").split())
    except OSError:
        return "float32"
    return "bfloat16" if flags & {"avx512_bf16", "amx_bf16", "bf16"} else "float32"


def convert(
    gguf_file: Path, out_dir: Path, *, dtype: str | None = None, chat: bool = True, timeout: float = 600
) -> Path:
    """Write the model in a GGUF file as a plain Hugging Face folder: weights, config, tokenizer, chat template.

    The folder appears whole or not at all. One that was made from the same bytes is kept as it is.
    SmolLM2-135M (98 MB) takes about 30 s and 1.2 GB, in a process that ends.

    Args:
        gguf_file: the model.
        out_dir: the folder to write; one of another source is replaced.
        dtype: "float32" or "bfloat16"; default: what fits this processor.
        chat: a chat template must be in it.
        timeout: seconds.

    Returns:
        `out_dir`.

    Raises:
        BackendError: no such file, not a model that transformers can read, or without the chat template it must have.
        MissingExtra: a library that reads GGUF isn't installed.
    """
    dtype = dtype or fitting_dtype()
    if dtype not in DTYPES:
        raise ValueError(f"dtype: expected one of {', '.join(DTYPES)}, got {dtype}")
    if not gguf_file.is_file():
        raise BackendError(f"{gguf_file}: no such file; expected a GGUF model")
    marker = {"sha256": _digest(gguf_file), "dtype": dtype}
    if _is_from(out_dir, marker):
        return out_dir
    out_dir.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out_dir.parent, prefix=f".{out_dir.name}-") as scratch:
        made = Path(scratch) / "model"
        _run(gguf_file, made, dtype, chat, Path(scratch), timeout)
        (made / MARKER).write_text(json.dumps(marker), encoding="utf-8")
        if out_dir.exists():
            shutil.rmtree(out_dir)
        try:
            made.rename(out_dir)
        except OSError:
            # Another process may have finished the same conversion first; its folder is as good.
            if not _is_from(out_dir, marker):
                raise
    return out_dir


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _is_from(out_dir: Path, marker: dict[str, str]) -> bool:
    try:
        found = json.loads((out_dir / MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(found == marker)


def _run(gguf_file: Path, made: Path, dtype: str, chat: bool, scratch: Path, timeout: float) -> None:
    """Convert in a child that ends with this process, and turn its complaint into ours."""
    paths = [str(gguf_file.absolute()), str(made.absolute())]
    command = [sys.executable, "-P", "-m", "governance.backends.gguf", *paths, dtype, str(int(chat)), str(os.getpid())]
    environment = child_environment(home=scratch, threads=1)
    here = str(Path(__file__).parents[2])  # an uninstalled checkout may be known by its working directory alone
    environment["PYTHONPATH"] = os.pathsep.join([here, *(path for path in sys.path if path)])
    try:
        done = subprocess.run(command, env=environment, capture_output=True, timeout=timeout, check=False)
    except subprocess.TimeoutExpired:
        raise BackendError(f"{gguf_file}: not converted within {timeout:g} s") from None
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        last = lines[-1] if lines else f"exit code {done.returncode}"
        if last.startswith(_MISSING):
            raise MissingExtra(
                f"a GGUF model needs {last.removeprefix(_MISSING)}: pip install 'steelyard[serve]'"
            ) from None
        raise BackendError(f"{gguf_file}: can't be converted: {last}")


def _convert_here(gguf_file: Path, made: Path, dtype: str, *, chat: bool) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
    from transformers.utils import logging

    logging.disable_progress_bar()
    folder, name = str(gguf_file.parent), gguf_file.name
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=name)
    if chat and not tokenizer.chat_template:
        raise SystemExit("expected a chat template in the file, found none; choose an instruction-tuned model")
    model = AutoModelForCausalLM.from_pretrained(
        folder, gguf_file=name, dtype=getattr(torch, dtype), quantization_config=GgufConfig(dequantize=True)
    )
    model.save_pretrained(made)
    tokenizer.save_pretrained(made)


def main(arguments: list[str]) -> None:
    """Entry point of the child process: GGUF file, folder, dtype, whether it must chat, parent's process id."""
    from governance.backends.supervise import die_with_parent

    die_with_parent(int(arguments[4]))
    try:
        _convert_here(Path(arguments[0]), Path(arguments[1]), arguments[2], chat=arguments[3] == "1")
    except ModuleNotFoundError as error:
        raise SystemExit(f"{_MISSING}{error.name}") from None


if __name__ == "__main__":
    main(sys.argv[1:])
