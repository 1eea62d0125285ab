"""Goal: what is built has what users need and nothing else."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import proglog_sdk

ROOT = Path(__file__).parent.parent
SOURCES = {
    path.relative_to(ROOT / "src").as_posix()
    for path in (ROOT / "src").rglob("*.py*")
    if "__pycache__" not in path.parts
} | {"proglog_sdk/py.typed"}


def test_wheel_and_source_archive(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)],
        check=True,
        capture_output=True,
    )
    name = f"proglog_sdk-{proglog_sdk.__version__}"
    with zipfile.ZipFile(tmp_path / f"{name}-py3-none-any.whl") as wheel:
        info = f"{name}.dist-info"
        extra = {f"{info}/{n}" for n in ("METADATA", "RECORD", "WHEEL", "licenses/LICENSE")}
        assert set(wheel.namelist()) == SOURCES | extra
        metadata = wheel.read(f"{info}/METADATA").decode()
    assert "Name: proglog-sdk\n" in metadata
    assert "Requires-Python: >=3.10\n" in metadata
    assert "License-Expression: Apache-2.0\n" in metadata
    with tarfile.open(tmp_path / f"{name}.tar.gz") as archive:
        names = {member.removeprefix(name + "/") for member in archive.getnames()}
    expected = {f"src/{source}" for source in SOURCES}
    assert expected | {"README.md", "CHANGELOG.md", "LICENSE", "pyproject.toml"} <= names
    assert {n.split("/")[0] for n in names - expected} == {
        "README.md",
        "CHANGELOG.md",
        "LICENSE",
        "pyproject.toml",
        "PKG-INFO",
        "tests",
        ".gitignore",
    }


def test_nothing_generated_is_public() -> None:
    for module in (proglog_sdk, __import__("proglog_sdk.aio").aio):
        for name in module.__all__:
            home = getattr(getattr(module, name), "__module__", "")
            assert "_gen" not in home, name
            assert not home.startswith(("grpc", "google")), name
