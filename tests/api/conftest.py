import pytest

import jaxdiff
from tests.helpers.api import IMAGES, LABELS, TEN, Small


@pytest.fixture(scope="session")
def model():
    return jaxdiff.train(IMAGES, labels=LABELS, net=Small(3), fields=TEN, progress=False)


@pytest.fixture(scope="session")
def saved(model, tmp_path_factory):
    return model.save(tmp_path_factory.mktemp("models") / "small", picture=False, license="MIT")
