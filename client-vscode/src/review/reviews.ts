import * as vscode from 'vscode';
import { askedOnce } from '../model/asked';
import * as model from '../model/review';
import type { Review } from '../protocol';
import type { Server } from '../server/connection';

interface Held {
  review: Review;
  /** Texts of the revision, by their URI. */
  texts: Map<string, Promise<string>>;
}

/** The reviews that this window has looked at, as the server has them now. */
export class Reviews implements vscode.Disposable {
  private readonly held = new Map<string, Held>();
  private readonly changes = new vscode.EventEmitter<Review>();
  /** A review was loaded, or is another one than before. */
  readonly onDidChange = this.changes.event;
  private readonly listening: vscode.Disposable;

  constructor(private readonly server: Server) {
    this.listening = server.onReviewChanged(({ runId, revision }) => {
      const known = this.held.get(runId);
      // The state may be another one at the same revision, too: a verdict came, an accept was undone.
      if (known && revision >= known.review.revision) void this.load(runId).catch(() => undefined);
    });
  }

  get all(): Review[] {
    return [...this.held.values()].map(({ review }) => review);
  }

  known(runId: string): Review | undefined {
    return this.held.get(runId)?.review;
  }

  /** The review as it is now. Throws what the server says of a run that is not known. */
  async load(runId: string): Promise<Review> {
    return this.keep(await this.server.review(runId));
  }

  /** Takes over what the server answered. */
  keep(review: Review): Review {
    const before = this.held.get(review.runId)?.review;
    if (before && before.revision > review.revision) return before;
    // The same map: what is still awaited may fail, and is then not to be kept.
    const texts = this.held.get(review.runId)?.texts ?? new Map<string, Promise<string>>();
    for (const uri of texts.keys()) {
      const place = model.placeOf(vscode.Uri.parse(uri));
      const same = before && place && place.side !== 'merged' && model.isSettledText(before, review, place.path);
      if (!same) texts.delete(uri);
    }
    this.held.set(review.runId, { review, texts });
    this.changes.fire(review);
    return review;
  }

  /** What a document of a review holds. Throws FileNotFound for one that is not part of it. */
  async text(uri: vscode.Uri): Promise<string> {
    const place = model.placeOf(uri);
    if (!place) throw vscode.FileSystemError.FileNotFound(uri);
    if (!this.held.has(place.runId)) await this.load(place.runId);
    const held = this.held.get(place.runId);
    const asked = held && model.serverUri(held.review, place);
    if (!held || asked === undefined) throw vscode.FileSystemError.FileNotFound(uri);
    return await askedOnce(held.texts, uri.toString(), async () => (await this.server.content(asked)).text);
  }

  /** Makes a text the proposed side of a file; `onto` is what the file holds where it was merged with that. */
  async edit(runId: string, path: string, text: string, onto?: string): Promise<Review> {
    return this.keep(await this.server.editProposed(runId, path, text, onto));
  }

  /** What is typed on the proposed side is made of the file as it is shown beside it. */
  async typed({ runId, path }: model.Place, text: string): Promise<Review> {
    const review = this.known(runId);
    const file = review && model.fileAt(review, path);
    const base = file?.now?.baseUri === undefined ? undefined : uriOf({ runId, side: 'base', path: file.path });
    return await this.edit(runId, path, text, base && (await this.text(base)));
  }

  dispose(): void {
    this.listening.dispose();
    this.changes.dispose();
  }
}

export function uriOf(place: model.Place): vscode.Uri {
  return vscode.Uri.from(model.addressOf(place));
}
