"""What kind of work a task is, by free local rules: its own words, the files it names, its size.

The words are those that task files of the corpus use in the languages they are written in. Every rule that spoke is in
the reasons, so that a face can say why; where none did, the answer is new code and says that it is a guess.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from kiro_lsp.spec.model import Task

Kind = Literal["code-generation", "bug-fix", "refactor", "documentation", "testing"]
Complexity = Literal["simple", "moderate", "complex"]

DEFAULT: Final[Kind] = "code-generation"


@dataclass(frozen=True, slots=True)
class Analysis:
    """`confidence` is 0 to 1; below one half the kind is a guess. `reasons` are short phrases, the weightiest first."""

    kind: Kind
    complexity: Complexity
    reasoning: bool
    """Whether it asks for thought before code: architecture, security, concurrency, several files at once."""
    has_tests: bool
    confidence: float
    reasons: tuple[str, ...]

    @property
    def is_guess(self) -> bool:
        return self.confidence < 0.5


def _words(text: str) -> re.Pattern[str]:
    """A pattern of patterns separated by blanks: words at their beginnings, those of scripts without blanks anywhere."""
    words = text.split()
    spaced = [word for word in words if word.isascii() or not _is_cjk(word)]
    dense = [word for word in words if not word.isascii() and _is_cjk(word)]
    parts = [rf"(?<![^\W_])(?:{'|'.join(spaced)})"] if spaced else []
    return re.compile("|".join([*parts, *dense]), re.IGNORECASE)


def _is_cjk(word: str) -> bool:
    return any("\u3040" <= character <= "\u9fff" or "\uac00" <= character <= "\ud7af" for character in word)


_TITLE: Mapping[Kind, re.Pattern[str]] = {
    "testing": _words(
        r"""
        tests?\b testing\b testen e2e\b end-to-end unit[-\s]test verif(?:y|ies|ication) valid(?:ate|ation)\b
        assert\b coverage playwright pytest vitest property[-\s](?:based|test) regression smoke verificar
        prueba testar teste tester exécuter vérifier prüfen проверить тест
        run\s(?:the\s)?(?:full\s|whole\s)?(?:test|suite|lint|build) 测试 測試 验证 驗證 テスト 検証 確認 테스트
        """
    ),
    "documentation": _words(
        r"""
        docs?\b documentation document(?:ed|ing|s)?\b readme changelog comments?\b docstring tutorial
        guides?\b wiki\b dokument documentar documenta
        документ 文档 文件說明 ドキュメント 문서
        """
    ),
    "bug-fix": _words(
        r"""
        fix(?:es|ed|ing)?\b bugs?\b hotfix repair crash broken\b wrong(?:ly)?\b incorrect fails?\b leak
        corrig arregl beheb исправ 修复 修正 不具合 バグ 버그
        """
    ),
    "refactor": _words(
        r"""
        refactor renam(?:e|ing) extract\b mov(?:e|ing)\b clean[-\s]?up simplif replace\b remov(?:e|ing)\b delet(?:e|ing)\b
        migrat restructur dedupl consolidat deprecat split\b keep\scurrent\sbehavior import\sfrom\b rework
        refactoriz umbenenn рефактор 重构 重構 リファクタ 移行 리팩
        """
    ),
    "code-generation": _words(
        r"""
        implement creat(?:e|ing)\b add(?:ing)?\b build\b defin(?:e|ing)\b wire\b scaffold introduc
        set\s?up\b stand\sup\b support\b generat initiali[sz]e integrat implementar crear añadir добав
        создать реализ 实现 實作 创建 新增 作成 実装 追加 初期化 구현 추가
        """
    ),
}
_WEIGHT: Mapping[Kind, int] = {"testing": 5, "documentation": 4, "bug-fix": 5, "refactor": 3, "code-generation": 3}
_PATHS: Mapping[Kind, re.Pattern[str]] = {
    "testing": re.compile(
        r"(^|/)(tests?|__tests__|e2e|spec)/|[._-](test|tests|spec|cy|e2e)\.|(^|/)test_", re.IGNORECASE
    ),
    "documentation": re.compile(r"\.(md|mdx|rst|adoc|txt)$|(^|/)docs?/", re.IGNORECASE),
}
_THOUGHT = _words(
    r"""
    architect design concurren race security auth encrypt migrat transaction distributed algorithm performance
    optimi[sz] protocol schema permission 认证 权限 セキュリティ 権限
    """
)
_MADE: Mapping[Kind, str] = {
    "testing": r"tests?|test\s(?:suite|plan|cases?|class)|coverage",
    "documentation": r"documentation|docs|readme|guides?|changelog|reports?|tutorial",
}
_MADE_DENSE: Mapping[Kind, str] = {
    "testing": "测试|測試|テスト|테스트",
    "documentation": "文档|文件|文檔|ドキュメント|문서",
}
_MAKES: Mapping[Kind, re.Pattern[str]] = {
    kind: re.compile(
        r"(?:add|write|create|implement|build|define|extend|update|produce|prepare|draft|generate)\b"
        rf"(?:(?!\b(?:with|and|for|from|in)\b)[^.;:]){{0,80}}?\b(?:{_MADE[kind]})\b|.{{1,80}}(?:{_MADE_DENSE[kind]})\W*\Z",
        re.IGNORECASE,
    )
    for kind in _MADE
}
"""What is made is tests, or something to read; in `implement X with tests` the code comes first."""
_FILE_NAME = re.compile(r"\btasks?\s+document\b|\bdesign\s+document\b|任务文档|タスクドキュメント", re.IGNORECASE)
"""What the title of every such file says, whatever its tasks are about."""
_PATH_IN_TEXT = re.compile(r"`([\w./\\-]+\.\w{1,6})`|(?<![\w/])((?:[\w.-]+/)+[\w.-]+\.\w{1,6})")
_BULLET = re.compile(r"^\s*[-*] \S", re.MULTILINE)


def analyse(task: Task, section: str | None = None) -> Analysis:
    """The kind and size of one task. `section` is the heading above it, when that is not the task's own."""
    title = _PATH_IN_TEXT.sub(" ", task.title).replace("`", " ")
    files = task.files or tuple(one or two for one, two in _PATH_IN_TEXT.findall(f"{task.title}\n{task.body}"))
    scores: dict[Kind, int] = dict.fromkeys(_TITLE, 0)
    reasons: list[tuple[int, str]] = []

    def vote(kind: Kind, weight: int, reason: str) -> None:
        scores[kind] += weight
        reasons.append((weight, reason))

    for kind, words in _TITLE.items():
        found = words.search(title)
        if found is not None:
            # What a task does stands at its beginning; further on the words are about its objects.
            early = 3 if found.start() <= 4 else 0
            vote(kind, _WEIGHT[kind] + early, f"title says {found.group(0).strip()!r}")
        elif words.search(task.body[:600]):
            vote(kind, 1, f"text is about {kind}")
    for kind, pattern in _MAKES.items():
        if pattern.match(title.lstrip()):
            vote(kind, 4, f"what is made is {kind}")
    heading = _FILE_NAME.sub("", section or task.section or "")
    for kind, words in _TITLE.items():
        if heading and kind != DEFAULT and words.search(heading):
            vote(kind, 2, f"under {heading.strip()!r}")
    for kind, pattern in _PATHS.items():
        hits = [path for path in files if pattern.search(path)]
        if hits and len(hits) * 2 > len(files):
            vote(kind, 4, f"names {hits[0]}")
    best = max(scores, key=lambda kind: (scores[kind], kind == DEFAULT))
    total = sum(scores.values())
    kind = best if scores[best] >= 2 else DEFAULT
    confidence = scores[best] / total if total and scores[best] >= 2 else 0.2
    spoken = tuple(reason for _weight, reason in sorted(reasons, key=lambda item: -item[0])[:3])
    complexity = _complexity(task, files)
    thought = _THOUGHT.search(f"{title}\n{task.body[:1000]}") is not None
    return Analysis(
        kind,
        complexity,
        complexity == "complex" or (thought and complexity != "simple"),
        scores["testing"] > 0,
        round(confidence, 2),
        spoken or ("nothing in its words tells",),
    )


def _complexity(task: Task, files: Sequence[str]) -> Complexity:
    """By how much is asked for: bullets, files, requirements, length."""
    points = min(len(_BULLET.findall(task.body)), 8)
    points += 2 * max(0, len(set(files)) - 1)
    points += max(0, len(task.requirements) - 1)
    points += len(task.title) // 120 + len(task.body) // 500
    return "simple" if points < 3 else "moderate" if points < 9 else "complex"
