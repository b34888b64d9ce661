import * as vscode from 'vscode';

type Notify = (method: string, parameters: object) => void;

/**
 * Tells the server what is typed and not saved in files that the language client does not follow: an accept must find it,
 * and merge with it or name it. A file that is saved needs no telling, it is read from the disk.
 * @param follows whether the language client tells of a document already
 */
export function tellUnsaved(notify: Notify, follows: (document: vscode.TextDocument) => boolean): vscode.Disposable {
  const told = new Set<string>();
  const begin = (document: vscode.TextDocument): void => {
    if (!document.isDirty || document.uri.scheme !== 'file' || follows(document)) return;
    const { languageId, version } = document;
    const uri = document.uri.toString();
    told.add(uri);
    const textDocument = { uri, languageId, version, text: document.getText() };
    notify('textDocument/didOpen', { textDocument });
  };
  const end = (document: vscode.TextDocument): void => {
    const uri = document.uri.toString();
    if (told.delete(uri)) notify('textDocument/didClose', { textDocument: { uri } });
  };
  const changed = ({ document, contentChanges }: vscode.TextDocumentChangeEvent): void => {
    const uri = document.uri.toString();
    if (!told.has(uri)) begin(document);
    else if (contentChanges.length) {
      const changes = contentChanges.map(({ range, text }) => ({ range: plain(range), text }));
      notify('textDocument/didChange', { textDocument: { uri, version: document.version }, contentChanges: changes });
    }
  };
  const saved = (document: vscode.TextDocument): void => {
    const uri = document.uri.toString();
    if (told.has(uri)) notify('textDocument/didSave', { textDocument: { uri } });
    end(document);
  };
  vscode.workspace.textDocuments.forEach(begin);
  return vscode.Disposable.from(
    vscode.workspace.onDidChangeTextDocument(changed),
    vscode.workspace.onDidSaveTextDocument(saved),
    vscode.workspace.onDidCloseTextDocument(end),
  );
}

function plain({ start, end }: vscode.Range): object {
  const place = ({ line, character }: vscode.Position): object => ({ line, character });
  return { start: place(start), end: place(end) };
}
