"""What happened in a training: kept, shown as a table, written to a log as it goes."""

from __future__ import annotations

import csv
import dataclasses
import importlib.util
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ..errors import FormatError, StorageError
from .weights import write_whole

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["History", "Log", "open_log"]


@dataclasses.dataclass
class History:
    """What happened in a training.

    Attributes
    ----------
    rows : list of dict of str to float
        One per logged step: ``step`` (steps done), ``loss``, ``mean_loss`` (running mean of
        about 50 steps), ``learning_rate``, ``seconds`` (of training, without pauses),
        ``loss_*`` (its parts, where the loss gives some) and, after a validation, ``val_*``.
    best_step : int or None
        Steps done at the best validation, where early stopping is on.
    best_value : float or None
        Its monitored value.
    stopped_early : bool
        True when the patience ran out.
    """

    rows: list[dict[str, float]] = dataclasses.field(default_factory=list)
    best_step: int | None = None
    best_value: float | None = None
    stopped_early: bool = False

    @property
    def validations(self) -> list[dict[str, float]]:
        """The validations: ``step``, and what the function gave. list of dict."""
        named = [
            {"step": row["step"]}
            | {key[4:]: value for key, value in row.items() if key.startswith("val_")}
            for row in self.rows
        ]
        return [validation for validation in named if len(validation) > 1]

    def frame(self) -> pd.DataFrame:
        """Show the rows as a table, with NaN where a step has no such value.

        Returns
        -------
        pandas.DataFrame
        """
        import pandas as pd

        return pd.DataFrame(self.rows, columns=columns_of(self.rows))

    def __repr__(self) -> str:
        if not self.rows:
            return "History(empty)"
        last = self.rows[-1]
        text = f"{last['step']} steps, loss {last['mean_loss']:.4g}"
        if self.best_step is not None:
            text += f", best {self.best_value:.4g} at step {self.best_step}"
        return f"History({text}{', stopped early' if self.stopped_early else ''})"


_FIRST = ("step", "loss", "mean_loss", "learning_rate", "seconds")


def columns_of(rows: list[dict[str, float]]) -> list[str]:
    """Name the columns of rows, in the order in which they first came."""
    return list(dict.fromkeys([*_FIRST, *(name for row in rows for name in row)]))


class Log(Protocol):
    """Takes the rows as they come."""

    def add(self, row: dict[str, float]) -> None: ...


def open_log(path: str | Path | None, history: History) -> Log:
    """Open a log that agrees with a history.

    Parameters
    ----------
    path : str, Path or None
        A ``.csv`` file; any other name is a folder for TensorBoard; None for no log.
    history : History
        What came before. Later rows in the file, which a killed run wrote after its last
        checkpoint, are dropped: they come again.

    Returns
    -------
    Log

    Raises
    ------
    FormatError
        When TensorBoard isn't installed.
    StorageError
        When the file can't be written.
    """
    if path is None:
        return _NoLog()
    path = Path(path)
    if path.suffix.lower() == ".csv":
        return _CsvLog(path, history)
    if importlib.util.find_spec("tensorboard") is None:
        raise FormatError(
            "a log without the ending '.csv' is for TensorBoard, which isn't installed",
            where=str(path),
            remedy="name a .csv file, or pip install tensorboard",
        )
    return _TensorBoardLog(path, history)


class _NoLog:
    def add(self, row: dict[str, float]) -> None:
        pass


class _CsvLog:
    def __init__(self, path: Path, history: History) -> None:
        self.path = path
        self.rows = list(history.rows)
        self.columns = columns_of(self.rows)
        self._write_all()

    def add(self, row: dict[str, float]) -> None:
        self.rows.append(row)
        if not set(row) <= set(self.columns):
            self.columns = columns_of(self.rows)
            self._write_all()
            return
        try:
            with self.path.open("a", encoding="utf-8", newline="") as file:
                file.write(self._text([row]))
        except OSError as error:
            raise StorageError(
                f"the log can't be written ({error.strerror})", where=str(self.path)
            ) from error

    def _write_all(self) -> None:
        header = dict(zip(self.columns, self.columns, strict=True))
        write_whole(self.path, self._text([header, *self.rows]).encode())

    def _text(self, rows: list[Any]) -> str:
        text = io.StringIO()
        csv.DictWriter(text, self.columns, lineterminator="\n").writerows(rows)
        return text.getvalue()


class _TensorBoardLog:
    def __init__(self, path: Path, history: History) -> None:
        from torch.utils.tensorboard import SummaryWriter

        done = int(history.rows[-1]["step"]) if history.rows else 0
        self.writer = SummaryWriter(str(path), purge_step=done + 1)

    def add(self, row: dict[str, float]) -> None:
        for name, value in row.items():
            if name != "step":
                self.writer.add_scalar(name, value, int(row["step"]))
        self.writer.flush()
