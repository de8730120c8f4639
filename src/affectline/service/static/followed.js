// Which of the faces the curves and bars are about.

const PATIENCE_MS = 1000; // a face that is away for no longer leaves a gap, and another one is not taken for it

const area = ({ box }) => (box[2] - box[0]) * (box[3] - box[1]);

export class Followed {
  constructor() {
    this.track = null;
    this.seenMs = -Infinity;
  }

  /** Return the followed face, if it is there; the largest good one is followed where none was, or it has left. */
  among(faces, nowMs) {
    let face = faces.find(({ track_id }) => track_id === this.track);
    if (!face && nowMs - this.seenMs > PATIENCE_MS) {
      const good = faces.filter(({ status }) => status !== "low_quality");
      face = (good.length ? good : faces).toSorted((one, other) => area(other) - area(one))[0];
    }
    if (!face) return null;
    this.track = face.track_id;
    this.seenMs = nowMs;
    return face;
  }

  /** Follow the face that is next to the right in the mirrored picture, behind the last one the first. */
  next(faces) {
    const ordered = faces.toSorted((one, other) => other.box[0] - one.box[0]);
    const place = ordered.findIndex(({ track_id }) => track_id === this.track);
    if (ordered.length) this.track = ordered[(place + 1) % ordered.length].track_id;
  }
}
