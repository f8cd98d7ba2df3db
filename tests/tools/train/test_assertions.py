import pytest

from tests.planted_faults import FAULTS, said_of


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.plant.__name__)
def test_every_assertion_fires_on_its_planted_fault(fault):
    assert fault.says in said_of(fault)
