/* SPDX-License-Identifier: MIT */
/* In place of sdfpack_avx2.c where the processor has no AVX2 at all. Owns nothing. */
#include "ext/sdfkernels.h"

const struct lodei_sdf_kernels *lodei_sdf_kernels_avx2(void)
{
    return NULL;
}
