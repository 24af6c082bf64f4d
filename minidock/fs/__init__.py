# SPDX-License-Identifier: Apache-2.0
"""Files, locks and directory trees; knows no domain."""
