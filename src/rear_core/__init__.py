# SPDX-License-Identifier: GPL-3.0-or-later
"""Bare-metal disaster recovery for Linux: what plugin authors import."""

from __future__ import annotations

from .backup_access import BackupAccess
from .contents import Contents
from .errors import Absent, ConfigurationError, ExitCode, PluginError, ProgramFailed, RearError, Refused
from .first_setup import Ask, Offer, SecretFile, SecretLine
from .hookspecs import hookimpl
from .run import RescueImage, Run
from .settings.model import Setting
from .step import Step

__version__ = "0.1.0"

__all__ = [
    "Absent",
    "Ask",
    "BackupAccess",
    "ConfigurationError",
    "Contents",
    "ExitCode",
    "Offer",
    "PluginError",
    "ProgramFailed",
    "RearError",
    "Refused",
    "RescueImage",
    "Run",
    "SecretFile",
    "SecretLine",
    "Setting",
    "Step",
    "hookimpl",
]
