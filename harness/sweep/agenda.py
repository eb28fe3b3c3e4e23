"""What a sweep runs next: the jobs of its trials, and those that searches ask for as results come in.

Imports no Ray.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence

from harness.records import Record
from harness.sweep import worklist
from harness.sweep.job import Job, jobs
from harness.sweep.searching import Searching
from harness.sweep.worklist import Task

ATTEMPTS = 2
"""How often a job is tried: what is left of one whose worker died is retried once, when all else is done."""


class Agenda:
    """Hands out jobs by number, and takes note of what became of them.

    jobs     those handed out so far, by number
    results  final results by sample key, shared with the searches
    heard    is told of tasks that a search has come to
    aside    jobs that whoever takes jobs would not have
    """

    def __init__(
        self,
        pending: Sequence[Task],
        searches: Sequence[Searching] = (),
        results: dict[str, Record] | None = None,
        heard: Callable[[list[Task]], None] = lambda tasks: None,
    ) -> None:
        self.jobs: list[Job] = []
        self.aside: list[Job] = []
        self._results = {} if results is None else results
        self._searches, self._heard = searches, heard
        self._tries: list[int] = []
        self._finished: Counter[int] = Counter()
        self._running: set[int] = set()
        self._orphans: list[tuple[Job, int]] = []
        self._queue: deque[tuple[Job, int]] = deque()
        self._asked: set[str] = set()
        self._enqueue(pending)
        self.refill()

    @property
    def idle(self) -> bool:
        """Whether nothing runs and nothing waits, but for what is left to be tried again."""
        return not self._queue and not self._running

    @property
    def breadth(self) -> int:
        """How many jobs there may be at a time."""
        each = (len(search.study.subjects) * len(search.study.experiment.seeds) for search in self._searches)
        return len(self._queue) + sum(each)

    def take(self, wanted: Callable[[Job], bool] = lambda job: True) -> int | None:
        """Hand out the next job that is wanted by its number; None while there is none."""
        while self._queue:
            job, attempt = self._queue.popleft()
            if wanted(job):
                self.jobs.append(job)
                self._tries.append(attempt)
                self._running.add(len(self.jobs) - 1)
                return len(self.jobs) - 1
            self.aside.append(job)
        return None

    def again(self) -> bool:
        """Put what died back among what waits; say whether there is anything to do."""
        self._queue.extend(self._orphans)
        self._orphans.clear()
        return bool(self._queue)

    def left(self, index: int) -> tuple[Task, ...]:
        """Give the tasks of a job that have no result yet; the first of them is the current one."""
        return self.jobs[index].after(self._finished[index]).tasks

    def filed(self, index: int, record: Record) -> None:
        """Take note of the result of a job's current task; a search may go on with it."""
        self._finished[index] += 1
        if not self.left(index):
            self._running.discard(index)
        self._results[record.key] = record
        self.refill()

    def died(self, index: int) -> bool:
        """Take note that a job's worker died; say whether what is left of it is tried again."""
        if self._tries[index] >= ATTEMPTS:
            return False
        self._running.discard(index)
        self._orphans.append((self.jobs[index].after(self._finished[index]), self._tries[index] + 1))
        return True

    def refill(self) -> None:
        """Let every search go on as far as the results take it, and queue what it asks for."""
        for search in self._searches:
            wanted = search.advance()
            if news := search.news():
                self._heard(news)
            self._enqueue([task for task in wanted if task.keys.sample not in self._asked])

    def _enqueue(self, tasks: Sequence[Task]) -> None:
        self._asked |= {task.keys.sample for task in tasks}
        self._queue.extend((job, 1) for job in jobs(worklist.in_order(tasks)))
