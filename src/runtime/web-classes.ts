/**
 * Classes of the web that Node loads when they are first asked for; all of Fetch costs 20 ms and 4 MB. What is held here
 * before any tenant's code runs is the way to ask: it leads to Node's own class whatever tenants put under its name.
 */

/** @param name a global that Node defines by a getter */
function lazily<Name extends 'Request' | 'ReadableStream'>(name: Name): () => (typeof globalThis)[Name] {
  const { get, value } = Object.getOwnPropertyDescriptor(globalThis, name)!;
  let loaded = value as (typeof globalThis)[Name] | undefined;
  return () => {
    if (loaded !== undefined) return loaded;
    const present = Object.getOwnPropertyDescriptor(globalThis, name);
    loaded = Reflect.apply(get!, globalThis, []) as (typeof globalThis)[Name];
    // Node's getter puts its class under the name; where the tenant has put another, that one stays.
    if (present !== undefined && present.get !== get) Object.defineProperty(globalThis, name, present);
    return loaded;
  };
}

export const nativeRequest = lazily('Request');
export const nativeReadableStream = lazily('ReadableStream');
