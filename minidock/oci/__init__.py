# SPDX-License-Identifier: Apache-2.0
"""Values of the OCI specifications and of image names."""
