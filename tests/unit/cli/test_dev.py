"""Which files `dev` watches, and what counts as a change."""

from pathlib import Path

from constellation_ws.cli import dev


def test_the_sources_the_routes_and_files_of_one_s_own_are_watched(tmp_path: Path) -> None:
    own = tmp_path / "further.toml"
    own.touch()

    names = {path.name for path in dev.times([own, tmp_path / "gone.toml"])}

    assert {"relay.py", "default.toml", "further.toml"} <= names
    assert "gone.toml" not in names


def test_files_that_came_went_or_were_written_are_changes() -> None:
    before = {Path("a/same.py"): 1, Path("a/written.py"): 1, Path("a/went.py"): 1}
    after = {Path("a/same.py"): 1, Path("a/written.py"): 2, Path("a/came.py"): 1}

    assert dev.changes(before, after) == ["came.py", "went.py", "written.py"]
    assert dev.changes(after, after) == []
