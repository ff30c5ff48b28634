/** The two functions of React that the hook uses, so that it can be checked without React. Delete it where React is. */
declare module "react" {
  export function useMemo<T>(make: () => T, dependencies: readonly unknown[]): T;
  export function useSyncExternalStore<T>(subscribe: (listener: () => void) => () => void, get: () => T): T;
}
