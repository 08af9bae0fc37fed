"""A vendor's fine-tuning job from start to end, started once however often we are killed.

The vendor is where the truth is: the job carries a key made of all that shapes it, and the uploaded files are named
after it. Our own state file only saves the search for them.
"""

from __future__ import annotations

import asyncio
import datetime
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NoReturn

from governance.backends.line import run_to_end
from governance.files import digest_of, write_atomic
from governance.record import Deletion, SentRows, VendorTraining
from governance.training.vendor.answers import Job, StoredFile
from governance.training.vendor.desk import KEY, Desk, Vendor, VendorError
from governance.training.vendor.once import State, make_once, patiently, unless_gone
from governance.training.vendor.terms import PACE, Pace, Terms, cost, quote

RECORD = "vendor.json"
_STATE = "state.json"
NO_CLAIM = (
    "No privacy claim covers this model: the vendor saw the scrubbed training rows themselves, and scrubbing is not "
    "differential privacy."
)
_GROWTH = 1.5


class FineTuningJob:
    """One job at one vendor. `run` may be called again after any interruption, in any process."""

    def __init__(
        self,
        vendor: Vendor,
        terms: Terms,
        directory: Path,
        training: SentRows,
        validation: SentRows | None = None,
        *,
        texts: Iterable[str],
        tell: Callable[[str], None] = lambda _: None,
        pace: Pace | None = None,
    ) -> None:
        """Get ready; nothing is sent yet.

        Args:
            vendor: where to ask.
            terms: what for.
            directory: holds `training.jsonl` and, if there is one, `validation.jsonl`; state and record go there.
            training: what `write_examples` said of the training file.
            validation: likewise.
            texts: what is in the files; the vendor's words are shown only if they don't repeat them.
            tell: told what happens, a line at a time.
            pace: how patiently to follow.

        Raises:
            ConfigError: more expensive than the budget.
        """
        self._vendor, self._terms, self._directory = vendor, terms, directory
        self._sent = {"training": training} | ({"validation": validation} if validation else {})
        self._plain, self._tell, self._pace = vendor.plain(texts), tell, pace or PACE
        self.key = digest_of([terms.shape(), {name: rows.digest for name, rows in self._sent.items()}])
        self._state = State.load(directory / _STATE, self.key)
        self._price = quote(terms, training, self._state.epochs)

    def run(self) -> VendorTraining:
        """Upload, start, follow to the end, delete if asked, write `vendor.json`; what was done before is not redone.

        Raises:
            VendorError: the vendor refused, failed, or was lost; the message says whether the job goes on there.
        """
        record = self._directory / RECORD
        if record.is_file():
            return VendorTraining.model_validate_json(record.read_bytes())
        try:
            return run_to_end(self._run())
        except VendorError as error:
            raise VendorError(f"{self._vendor.host}: {error}") from None

    def cancel(self) -> str:
        """Ask the vendor to cancel the job, also from a process other than the one that follows it.

        Returns:
            The status that the vendor reports.

        Raises:
            VendorError: there is no job, or the vendor refuses.
        """
        return run_to_end(self._cancel())

    async def _cancel(self) -> str:
        async with self._vendor.open(self._plain) as desk:
            job = self._state.job
            if job is None:
                found = await desk.find_job(self.key, self._state.files.get("training"))
                if found is None:
                    raise VendorError(f"{self._vendor.host}: there is no job to cancel")
                job = found.id
            return (await desk.cancel(job)).status

    async def _run(self) -> VendorTraining:
        async with self._vendor.open(self._plain) as desk:
            job = await self._follow(desk, await self._begun(desk))
            if job.status != "succeeded" or job.fine_tuned_model is None:
                await self._give_up(desk, self._failure(job))
            checkpoints = await self._checkpoints(desk, job)
            deletion = await self._delete(desk) if self._terms.delete_file else None
        found = self._described(job, checkpoints, deletion)
        write_atomic(self._directory / RECORD, found.model_dump_json(indent=1).encode() + b"\n")
        return found

    def _say(self, line: str) -> None:
        self._tell(f"{self._vendor.host}: {line}")

    # -- start --------------------------------------------------------------------------------

    async def _begun(self, desk: Desk) -> Job:
        """The job: the one that we know of, one that a killed run started, or a new one."""
        if self._state.job is not None:
            with_id = await unless_gone(desk.job(self._state.job))
            if with_id is not None:
                return with_id
        # Before the upload: a job whose file was deleted since must not send the rows again.
        job = await patiently(lambda: desk.find_job(self.key, self._state.files.get("training")), self._pace)
        if job is None:
            files = {f"{name}_file": await self._uploaded(desk, name) for name in self._sent}
            job = await make_once(
                lambda: desk.find_job(self.key, files["training_file"]),
                lambda: desk.start(**self._terms.shape(), **files, metadata={KEY: self.key}),
                self._pace,
            )
        self._state.keep(job=job.id, files=job.files)
        self._say(f"job {job.id}, {job.status}")
        return job

    async def _uploaded(self, desk: Desk, name: str) -> str:
        """The vendor's id of a file, sent now if it isn't there."""
        known = self._state.files.get(name)
        file = await unless_gone(desk.file(known)) if known else None
        if file is None or file.status == "error":
            path, size = self._directory / f"{name}.jsonl", self._sent[name].bytes
            called = f"steelyard-{self.key[:32]}-{name}.jsonl"
            file = await make_once(lambda: desk.find_file(called, size), lambda: desk.upload(called, path), self._pace)
            self._state.keep(files={**self._state.files, name: file.id})
            self._say(f"{self._sent[name].rows} scrubbed rows left as file {file.id}")
        return (await self._processed(desk, file)).id

    async def _processed(self, desk: Desk, file: StoredFile) -> StoredFile:
        """Wait until the vendor has read the file; one that never says so is left to the job to judge."""
        deadline = time.monotonic() + self._pace.ready
        while file.status == "uploaded" and time.monotonic() < deadline:
            await asyncio.sleep(self._pace.first)
            file = await desk.file(file.id)
        if file.status == "error":
            await self._give_up(desk, f"the file is refused: {self._plain(file.status_details) or 'no reason given'}")
        return file

    # -- follow -------------------------------------------------------------------------------

    async def _follow(self, desk: Desk, job: Job) -> Job:
        """Look until the job has ended, less often while nothing happens."""
        deadline, wait, lost = time.monotonic() + self._pace.limit, self._pace.first, 0
        while True:
            news = await self._news(desk, job)
            if job.ended:
                return job
            await self._mind_the_budget(desk, job)
            if time.monotonic() >= deadline:
                raise self._left_running(job, f"no end after {self._pace.limit:g} s, status {job.status}")
            wait = self._pace.first if news else min(wait * _GROWTH, self._pace.longest)
            await asyncio.sleep(wait)
            try:
                job, lost = await desk.job(job.id), 0
            except VendorError as error:
                lost += 1
                if not error.again or lost >= self._pace.patience:
                    raise self._left_running(job, str(error)) from None

    def _left_running(self, job: Job, why: str) -> VendorError:
        return VendorError(f"{why}; job {job.id} goes on there: run the same command again to follow it")

    async def _news(self, desk: Desk, job: Job) -> bool:
        """Pass on what the vendor tells; whether it told anything. A list of news that fails is no reason to stop."""
        try:
            events = await desk.events(job.id, self._state.told)
        except VendorError as error:
            self._say(f"no news of job {job.id}: {error}")
            return False
        for event in events:
            self._say(f"{self._plain(event.message)}")
        if events:
            self._state.keep(told=events[-1].id)
        return bool(events)

    async def _mind_the_budget(self, desk: Desk, job: Job) -> None:
        """Stop a job for which the vendor chose more epochs than the money is there for."""
        epochs = job.hyperparameters.n_epochs if job.hyperparameters else None
        if not isinstance(epochs, int):
            return
        due = cost(self._sent["training"].tokens, epochs, self._terms.per_million_tokens)
        if due > self._terms.budget:
            self._state.keep(epochs=epochs)  # known the next time before anything is sent
            await desk.cancel(job.id)
            await self._give_up(
                desk,
                f"the vendor chose {epochs} epochs, which come to {due:.2f} {self._terms.currency}, the budget is "
                f"{self._terms.budget:g}; the job was cancelled. Set epochs, or raise the budget",
            )

    # -- end ----------------------------------------------------------------------------------

    def _failure(self, job: Job) -> str:
        error = job.error
        told = ": ".join(filter(None, (self._plain(error.code), self._plain(error.message)))) if error else ""
        named = "named no model" if job.status == "succeeded" else job.status
        return f"job {job.id} {named}" + (f" ({told})" if told else "")

    async def _give_up(self, desk: Desk, why: str) -> NoReturn:
        """Forget a job that brought no model, delete what was uploaded if that was asked for, and say why.

        Raises:
            VendorError: always.
        """
        files = self._state.files
        if self._terms.delete_file:
            deletion = await self._delete(desk)
            files = {name: file for name, file in files.items() if deletion.answers[name].startswith("not deleted")}
            why += "; uploaded files: " + ", ".join(sorted(set(deletion.answers.values())))
        self._state.keep(job=None, told=None, files=files)
        raise VendorError(why)

    async def _delete(self, desk: Desk) -> Deletion:
        """Ask for the deletion of each file; a refusal is recorded, since the model is there and paid for."""
        answers = {}
        for name, file in self._state.files.items():
            try:
                answers[name] = "deleted" if await desk.delete(file) else "not deleted"
            except VendorError as error:
                answers[name] = "no longer there" if error.gone else f"not deleted: {error}"
            self._say(f"{name} file {file}: {answers[name]}")
        return Deletion(asked=_now(), answers=answers)

    async def _checkpoints(self, desk: Desk, job: Job) -> tuple[Mapping[str, str | int | float | None], ...]:
        try:
            found = await desk.checkpoints(job.id)
        except VendorError as error:
            self._say(f"no list of checkpoints: {error}")
            return ()
        return tuple(
            {
                "step": one.step_number,
                "model": one.fine_tuned_model_checkpoint,
                "train_loss": one.metrics.train_loss,
                "full_valid_loss": one.metrics.full_valid_loss,
            }
            for one in found
        )

    def _described(self, job: Job, checkpoints: Any, deletion: Deletion | None) -> VendorTraining:
        sent = {
            name: rows.model_copy(update={"file": self._state.files.get(name)}) for name, rows in self._sent.items()
        }
        charged = None if job.trained_tokens is None else cost(job.trained_tokens, 1, self._terms.per_million_tokens)
        return VendorTraining(
            host=self._vendor.host,
            base=self._terms.base,
            base_reported=job.model,
            model=str(job.fine_tuned_model),
            job=job.id,
            started=_iso(job.created_at),
            finished=None if job.finished_at is None else _iso(job.finished_at),
            training=sent["training"],
            validation=sent.get("validation"),
            hyperparameters=job.hyperparameters.model_dump() if job.hyperparameters else {},
            seed=job.seed,
            trained_tokens=job.trained_tokens,
            checkpoints=checkpoints,
            price=self._price.model_copy(update={"charged": charged}),
            deletion=deletion,
            privacy=NO_CLAIM,
        )


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _iso(moment: int) -> str:
    return datetime.datetime.fromtimestamp(moment, datetime.UTC).isoformat(timespec="seconds")
