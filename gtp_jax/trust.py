"""What a folder from a stranger may hold: files and folders, and nothing that leads out of it."""

import os
import pathlib
import stat

from gtp_jax.errors import UserError


def refuse_links(folder: pathlib.Path) -> None:
    """Looks at everything below a folder, which may itself be a link: its name came from the user.

    Raises:
        UserError: something is a link, a pipe or a device. Reading those could leave the folder or never end, and
            what is written beside them could end up elsewhere.
    """
    for parent, *names in os.walk(folder):
        for path in (pathlib.Path(parent, name) for some in names for name in some):
            try:
                mode = path.lstat().st_mode
            except FileNotFoundError:  # a run that goes on tidies up meanwhile
                continue
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                raise UserError(f"{path} is a link, a pipe or a device; put the file itself in its place")
