"""Records of benchmarks: written as a whole run, read back, compared."""

from __future__ import annotations

import json

import pytest

from bench.separation import results
from bench.separation.qualities import preset_of


def test_two_records_are_compared(tmp_path) -> None:
    def record(job_seconds: float, peak_mib: int, only: str) -> dict:
        ours = {"job_seconds": job_seconds, "peak_mib": peak_mib, "way": {"precision": "bf16"}}
        rows = {"MSaaS auto": ours, only: {"job_seconds": 1.0}}
        return results.read(results.write("speed", rows, {"seconds": 60}, tmp_path / only))

    old, new = record(20.0, 1000, "gone"), record(15.0, 1100, "come")
    old["machine"]["threads"] = 64
    table = results.compare(old, new)
    assert "| MSaaS auto | job_seconds | 20 | 15 | 0.75 |" in table
    assert "| MSaaS auto | peak_mib | 1000 | 1100 | 1.10 |" in table
    assert f"threads differs: 64 ▸ {new['machine']['threads']}" in table
    assert "gone" not in table
    assert "come" not in table


@pytest.mark.parametrize("content", ["", "[]", "{}", json.dumps({"format": 99})])
def test_what_is_no_record_is_refused(content, tmp_path) -> None:
    path = tmp_path / "record.json"
    path.write_text(content)
    with pytest.raises(SystemExit, match="is not a record"):
        results.read(path)


def test_presets_are_those_of_the_settings(monkeypatch) -> None:
    monkeypatch.setenv("MSAAS_QUALITY_BEST", "overlap=0.5 shifts=3")
    monkeypatch.delenv("MSAAS_QUALITY_BALANCED", raising=False)
    assert preset_of("best") == {"overlap": "0.5", "shifts": "3"}
    assert preset_of("balanced") == {"overlap": "0.25", "shifts": "0"}
