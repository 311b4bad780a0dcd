import pytest
import torch


@pytest.fixture(autouse=True)
def one_thread():
    """The peers have one thread, so the library gets one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def timed(benchmark, request):
    """Time `solve`, named `by` among those that do `work`, over a batch of so many samples.

    A reference takes seconds, so what is slow runs once.
    """

    def run(work, by, batch, solve, slow=False):
        benchmark.group = work
        benchmark.name = by
        benchmark.extra_info.update(work=work, by=by, batch=batch)
        if slow:
            return benchmark.pedantic(solve, rounds=1, iterations=1)
        return benchmark(solve)

    return run
