# SPDX-License-Identifier: Apache-2.0
"""Layer archives: tar to directory and directory to tar."""
