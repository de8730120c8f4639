// Talking to the service.

const PATIENCE_MS = 30000;

/** An answer above 399: its `message` is the sentence for people. */
export class Problem extends Error {
  constructor(status, detail, retryAfterS) {
    super(detail);
    this.status = status;
    this.retryAfterS = retryAfterS;
  }
}

/** Return the JSON of an answer; throw a Problem where the service says no. */
export async function ask(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, { signal: AbortSignal.timeout(PATIENCE_MS), ...options });
  } catch {
    throw new Problem(0, "The service does not answer. Is it still running?");
  }
  if (answer.status === 401) location.reload();
  if (!answer.ok) {
    const problem = await answer.json().catch(() => ({}));
    throw new Problem(answer.status, problem.detail ?? `The service answered with ${answer.status}.`);
  }
  return answer.status === 204 ? null : answer.json();
}

/** Upload a file; `onProgress` is told the share that is sent. Fetch cannot tell that, so this is an older way. */
export function upload(file, onProgress, signal) {
  const body = new FormData();
  body.append("file", file);
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", "/v1/analyses");
    request.responseType = "json";
    request.upload.onprogress = (event) => event.lengthComputable && onProgress(event.loaded / event.total);
    signal.addEventListener("abort", () => request.abort());
    request.onabort = () => reject(new Problem(0, "The upload was cancelled."));
    request.onerror = () => reject(new Problem(0, "The connection broke during the upload."));
    request.onload = () => {
      if (request.status === 201) return resolve(request.response);
      const detail = request.response?.detail ?? `The service answered with ${request.status}.`;
      return reject(new Problem(request.status, detail, Number(request.getResponseHeader("Retry-After")) || 5));
    };
    request.send(body);
  });
}
