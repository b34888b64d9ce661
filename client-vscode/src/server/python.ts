import * as vscode from 'vscode';

const ANSWER_MS = 5_000;

/** The part of the Python extension's API that is used: https://github.com/microsoft/vscode-python, `environments`. */
interface PythonApi {
  environments?: {
    getActiveEnvironmentPath(resource?: vscode.Uri): { path: string };
    resolveEnvironment(path: { path: string }): Promise<{ executable: { uri?: vscode.Uri } } | undefined>;
  };
}

/**
 * The interpreter that is selected in the Python extension, `undefined` without that extension, or where it does not answer
 * in time: an editor without it, or with a broken one, is no worse off.
 */
export async function selectedPython(log: vscode.LogOutputChannel): Promise<string | undefined> {
  const extension = vscode.extensions.getExtension<PythonApi | undefined>('ms-python.python');
  if (!extension) return undefined;
  const late = new Promise<undefined>((resolve) => setTimeout(() => resolve(undefined), ANSWER_MS));
  try {
    return await Promise.race([asked(extension), late]);
  } catch (error) {
    log.warn(`the Python extension does not say which interpreter is selected: ${String(error)}`);
    return undefined;
  }
}

/** The same as a list, for those who try several. */
export async function selectedPythons(log: vscode.LogOutputChannel): Promise<string[]> {
  const python = await selectedPython(log);
  return python === undefined ? [] : [python];
}

async function asked(extension: vscode.Extension<PythonApi | undefined>): Promise<string | undefined> {
  const api = extension.isActive ? extension.exports : await extension.activate();
  const environments = api?.environments;
  if (!environments) return undefined;
  const selected = environments.getActiveEnvironmentPath(vscode.workspace.workspaceFolders?.[0]?.uri);
  const resolved = await environments.resolveEnvironment(selected);
  return resolved?.executable.uri?.fsPath;
}
