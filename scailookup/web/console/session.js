/** Who is signed in. The token lives in this module's memory and nowhere else. */

let token = null;
let claims = null;
const listeners = new Set();

export const session = {
  get token() {
    return token;
  },
  get claims() {
    return claims;
  },
  get roles() {
    const roles = [claims?.role, claims?.roles].flat().filter((role) => typeof role === "string");
    return [...new Set(roles)];
  },
  /** Whether the token says that its bearer administers the tenant; the service decides by itself. */
  get isAdmin() {
    return claims?.everything === true || this.roles.some((role) => ["tenant_admin", "super_admin"].includes(role));
  },
  signIn(given) {
    token = given;
    claims = read(given);
    for (const tell of listeners) tell();
  },
  developer(tenant) {
    token = null;
    claims = { sub: "developer", tenant_id: tenant, everything: true };
    for (const tell of listeners) tell();
  },
  signOut() {
    token = claims = null;
    for (const tell of listeners) tell();
  },
  onchange(tell) {
    listeners.add(tell);
  },
};

/** What a token says of its bearer, for showing only: nothing here is verified. */
function read(given) {
  try {
    return parse(given);
  } catch {
    return {};
  }
}

/** The claims of a JWT; throws for what is none. */
export function parse(given) {
  const payload = given.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
  const bytes = Uint8Array.from(atob(payload), (one) => one.charCodeAt(0));
  return JSON.parse(new TextDecoder().decode(bytes));
}
