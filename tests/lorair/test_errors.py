"""The error for a degradation that nobody knows, wherever one is named."""

import pickle

import numpy as np
import pytest

from lorair.degradations import degrade, severities
from lorair.errors import LorairError, UnknownDegradationError


def test_it_names_what_was_asked_and_what_is_known_and_survives_another_process():
    error = UnknownDegradationError("fog", ("rain", "haze"))
    assert str(error) == "unknown degradation 'fog'; choose one of rain, haze"
    assert isinstance(error, ValueError) and isinstance(error, LorairError) and error.exit_code == 2
    assert str(pickle.loads(pickle.dumps(error))) == str(error)  # noqa: S301


def test_models_and_procedures_raise_it(make_model):
    image, rng = np.zeros((8, 8, 3), np.float32), np.random.default_rng(0)
    model = make_model()
    for named in (lambda: model.pin("fog"), lambda: degrade(image, "fog", rng), lambda: severities("fog")):
        with pytest.raises(UnknownDegradationError, match="'fog'"):
            named()
    with pytest.raises(UnknownDegradationError, match="choose one of noise, rain, haze, snow"):
        model.pin("fog")
