/** Which files hold tasks, by their names: what menus and keys go by before the server says what is in them. */

const TASK_FILES =
  /\/(?:tasks|todos?|task[-_ ]?list)\.(?:md|markdown|mdx)$|\/kitty-specs\/[^/]+\/tasks\/wp\d+[^/]*\.md$|\/(?:tickets?|backlog\/(?:tasks|drafts))\/[^/]+\.md$/i;
const NEVER = /\/(?:node_modules|\.git)\/|\/(?:\.spec-workflow\/(?:templates|user-templates)|\.specify\/templates)\//;

/** Whether a file with this path may be a task file, as the server's `is_task_file` has it. The path has `/`. */
export function isTaskFilePath(path: string): boolean {
  return TASK_FILES.test(path) && !NEVER.test(path);
}
