"""A state directory has one control plane, which is known as long as it lives."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from byway.app.tenure import control_plane, only_control_plane, remove_former
from byway.base.errors import UsageError


def test_a_second_control_plane_is_refused_and_the_first_is_known_while_it_serves(tmp_path: Path) -> None:
    """A pid that was left behind by a killed one is not believed."""
    (tmp_path / "serve.pid").write_text("1")
    assert control_plane(tmp_path) == 0
    with only_control_plane(tmp_path):
        assert control_plane(tmp_path) == os.getpid()
        with pytest.raises(UsageError, match="already"), only_control_plane(tmp_path):
            pass
    assert control_plane(tmp_path) == 0


def test_what_is_taken_back_leaves_the_socket_of_a_control_plane_that_serves(tmp_path: Path) -> None:
    """Else no agent could attest itself there any more."""
    socket = tmp_path / "control.sock"
    socket.touch()
    with only_control_plane(tmp_path):
        remove_former(tmp_path)
        assert socket.exists()
    remove_former(tmp_path)
    assert not socket.exists()
