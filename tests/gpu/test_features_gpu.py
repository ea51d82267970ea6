"""Features on a GPU equal those on the CPU."""

import numpy as np
import pytest
import torch

from asrtool.feat.extraction_options import FbankOptions, MfccOptions
from asrtool.feat.fbank import FeatureExtractor


@pytest.mark.parametrize("options", [FbankOptions(num_mel_bins=28), MfccOptions(snip_edges=False)])
def test_gpu_equals_cpu(options):
    if not torch.cuda.is_available():
        pytest.skip("no GPU here")
    random = np.random.default_rng(5)
    waves = [np.round(random.normal(size=size) * 3000).astype(np.float32) for size in (400, 16000, 24321)]
    on_gpu = FeatureExtractor(options, "cuda")(waves)
    for expected, got in zip(FeatureExtractor(options)(waves), on_gpu, strict=True):
        np.testing.assert_allclose(got, expected, atol=2e-3)
