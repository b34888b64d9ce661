"""A small spec to start from: requirements, design and tasks that show every form the tool reads."""

from __future__ import annotations

import re
from collections.abc import Mapping

_REQUIREMENTS = """\
# Requirements: {title}

## Introduction

Say in two or three sentences what this is for and who needs it. Replace the example below: a command that greets.

## Requirements

### Requirement 1: Greeting

**User Story:** As a user, I want to be greeted by my name, so that I know the program works.

#### Acceptance Criteria

1. WHEN the greeting is asked for with a name THEN the system SHALL answer "Hello, " followed by the name and "!"
2. WHEN the name is empty or only blanks THEN the system SHALL greet "World"
3. IF the name is longer than 100 characters THEN the system SHALL refuse it with a message that states the limit

### Requirement 2: Use from a terminal

**User Story:** As a user, I want to call it from a terminal, so that I can try it without writing code.

#### Acceptance Criteria

1. WHEN the command is called with a name THEN the system SHALL print the greeting and end with status 0
2. WHEN the name is refused THEN the system SHALL print the message to standard error and end with status 1
"""

_DESIGN = """\
# Design: {title}

## Overview

One pure function makes the greeting; the command only reads arguments and prints. Say here how the parts of the real
project fit together, and name the files.

## Components

- **Greeting**: takes a name, returns the text or fails with a message. No input or output.
- **Command**: parses the arguments, calls the greeting, prints, sets the exit status.

## Testing

Each acceptance criterion has a test that names it. The command is tested by starting it.
"""

_TASKS = """\
# Tasks: {title}

Each task below can be run with one click. The box is ticked by the tool, after you accepted the change.

- [ ] 1. Write the greeting
  - A function that takes a name and returns the greeting
  - Tests for an ordinary, an empty and a too long name
  - _Requirements: 1.1, 1.2, 1.3_

- [ ] 2. Call it from a terminal
  - [ ] 2.1 Write the command
    - Print the greeting, or the message on standard error
    - _Requirements: 2.1, 2.2_
    - _Depends: 1_
  - [ ]* 2.2 Test the command by starting it
    - _Requirements: 2.1, 2.2_

- [ ] 3. Describe it
  - A section in the README with one example of each case
  - _Requirements: 1.1, 2.1_
"""


def init_spec_files(name: str) -> Mapping[str, str]:
    """Root-relative path → text of a new spec. Raises ValueError for a name that is no plain folder name."""
    cleaned = name.strip()
    if not cleaned:
        raise ValueError("it is empty")
    if len(cleaned) > 80:
        raise ValueError("it is longer than 80 characters")
    if not re.fullmatch(r"[^\W_][\w.-]*", cleaned) or cleaned.endswith(".") or ".." in cleaned:
        raise ValueError("it is not a plain folder name")
    if re.fullmatch(r"(?i)(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?", cleaned):
        raise ValueError("Windows keeps it for a device")
    title = re.sub(r"[-_.]+", " ", cleaned).strip()
    folder = f".kiro/specs/{cleaned}"
    return {
        f"{folder}/requirements.md": _REQUIREMENTS.format(title=title),
        f"{folder}/design.md": _DESIGN.format(title=title),
        f"{folder}/tasks.md": _TASKS.format(title=title),
    }
