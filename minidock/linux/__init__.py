# SPDX-License-Identifier: Apache-2.0
"""One thin function per system call; failures are OSError."""
