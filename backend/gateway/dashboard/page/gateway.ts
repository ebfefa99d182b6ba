// How the page speaks to the gateway that served it. It owns the token, which lives as long as the browser's tab.

const TOKEN_KEY = 'meshsan-token';
const ANSWER_MS_MAX = 20_000;
/** A browser that may send its own credentials answers 401 with a dialog of its own. */
const credentials = 'omit';

/** The token is not good (any more): the user has to log in. */
export class LoginNeeded extends Error {
  override readonly name = 'LoginNeeded';
}

export function isLoggedIn(): boolean {
  return sessionStorage.getItem(TOKEN_KEY) !== null;
}

async function messageOf(response: Response): Promise<string> {
  const text = await response.text();
  try {
    const { message } = JSON.parse(text) as { message?: string };
    if (message !== undefined) return message;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  return `The gateway answered with status ${response.status}`;
}

/**
 * Logs in and keeps the token.
 * @throws Error in words for people
 */
export async function logIn(user: string, password: string): Promise<void> {
  const bytes = new TextEncoder().encode(`${user}:${password}`);
  const response = await fetch('/api/login', {
    headers: { Authorization: `Basic ${btoa(String.fromCharCode(...bytes))}` },
    signal: AbortSignal.timeout(ANSWER_MS_MAX),
    credentials,
  });
  if (response.status === 401) throw new Error('User or password is wrong');
  if (!response.ok) throw new Error(await messageOf(response));
  sessionStorage.setItem(TOKEN_KEY, (await response.json()) as string);
}

/** Forgets the token, and tells the gateway. */
export async function logOut(): Promise<void> {
  const token = sessionStorage.getItem(TOKEN_KEY) ?? '';
  sessionStorage.removeItem(TOKEN_KEY);
  await fetch('/api/logout', {
    headers: { Authorization: `Bearer ${token}` },
    signal: AbortSignal.timeout(ANSWER_MS_MAX),
    credentials,
  });
}

/**
 * Calls an endpoint. Without a body it is a GET.
 * @throws LoginNeeded
 * @throws Error in words for people
 */
export async function call<T>(path: string, body?: object, signal?: AbortSignal): Promise<T> {
  const limit = AbortSignal.timeout(ANSWER_MS_MAX);
  const response = await fetch(path, {
    method: body === undefined ? 'GET' : 'POST',
    headers: {
      Authorization: `Bearer ${sessionStorage.getItem(TOKEN_KEY) ?? ''}`,
      'Content-Type': 'application/json',
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    credentials,
    signal: signal === undefined ? limit : AbortSignal.any([limit, signal]),
  });
  if (response.status === 401) {
    sessionStorage.removeItem(TOKEN_KEY);
    throw new LoginNeeded();
  }
  if (!response.ok) throw new Error(await messageOf(response));
  return (await response.json()) as T;
}
