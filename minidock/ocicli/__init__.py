# SPDX-License-Identifier: Apache-2.0
"""``minidock-runtime``: the runtime behind the command line that container engines call."""
