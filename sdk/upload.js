/**
 * Requests that tell how far they are. fetch cannot (https://github.com/whatwg/fetch/issues/607), the
 * browsers' older XMLHttpRequest can; where there is none, as in Node, only the end is told.
 */

/**
 * @param {string} address
 * @param {RequestInit & { headers: Record<string, string> }} init
 * @param {(progress: import("./index.d.ts").Progress) => void} onProgress
 * @returns {Promise<Response>}
 */
export async function upload(address, init, onProgress) {
  if (typeof XMLHttpRequest === "function") return transfer(address, init, onProgress);
  const response = await fetch(address, init);
  const file = init.body instanceof FormData ? init.body.get("file") : null;
  const total = file instanceof Blob ? file.size : 0;
  onProgress({ loaded: total, total });
  return response;
}

/**
 * @param {string} address
 * @param {RequestInit & { headers: Record<string, string> }} init
 * @param {(progress: import("./index.d.ts").Progress) => void} onProgress
 * @returns {Promise<Response>}
 */
function transfer(address, { method = "POST", body, headers, credentials, signal }, onProgress) {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const request = new XMLHttpRequest();
    request.open(method, address);
    request.withCredentials = credentials === "include";
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.upload.onprogress = ({ loaded, total }) => onProgress({ loaded, total });
    request.onload = () => resolve(answerOf(request));
    request.onerror = () => reject(new TypeError("The upload failed"));
    request.onabort = () => reject(signal?.reason);
    const abort = () => request.abort();
    signal?.addEventListener("abort", abort);
    request.onloadend = () => signal?.removeEventListener("abort", abort);
    request.send(/** @type {XMLHttpRequestBodyInit} */ (body));
  });
}

/** @param {XMLHttpRequest} request */
function answerOf({ responseText, status, statusText }) {
  return new Response(responseText || null, { status, statusText });
}
