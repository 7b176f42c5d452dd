# SPDX-License-Identifier: GPL-3.0-or-later
"""What a bug report needs to know of a machine, in one file: without secrets, and anonymized on request."""
