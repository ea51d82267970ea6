"""As lstmp_cpu_float32, with bfloat16 products in ours where the processor has them (AVX-512 BF16), the reference in float32.

Prints lstmp_cpu at 4 and at 32 streams, and with what arithmetic.
"""

import torch
from lstmp_cpu_float32 import measure

from asrtool.nnet.precision import has_bf16_products


def main() -> None:
    torch.set_num_threads(1)
    bf16 = has_bf16_products()
    for num_streams, num_chunks in ((4, 8), (32, 2)):
        ours, theirs = measure(num_streams, bf16, 1e-2 if bf16 else 1e-4, num_chunks)
        print(
            f"lstmp_cpu_{num_streams}_streams ours={ours:.0f} reference={theirs:.0f} ratio={ours / theirs:.2f} unit=frames/CPU-s "
            f"products={'bfloat16' if bf16 else 'float32'}",
            flush=True,
        )


if __name__ == "__main__":
    main()
