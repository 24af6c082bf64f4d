# SPDX-License-Identifier: Apache-2.0
"""Networks of containers: ports, addresses, bridges."""
