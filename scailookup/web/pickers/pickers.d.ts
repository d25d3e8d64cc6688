/** A token, or what gives one, at once or later. `renew` is true after the service refused the last one. */
export type Token = string | ((why: { renew: boolean }) => string | null | Promise<string | null>);

export interface Settings {
  /** Where lookups are asked: the service's `/api/v1/`. Default: beside the module that was loaded. */
  base?: string | null;
  /** The caller's ScaiKey token. Default: none is sent. */
  token?: Token | null;
  /** Seconds between two questions while the page is seen; 0: ask once. Default: 30. */
  poll?: number | null;
}

/** Set what pickers use that say nothing themselves. Pickers that are there ask anew. */
export function configure(settings?: Settings): void;

/** The members of an error of the service. */
export interface Detail {
  error: string;
  message: string;
  fix: string;
  request_id?: string;
  retry_after?: number;
  status?: number | null;
  code?: string;
}

export class LookupError extends Error {
  /** The HTTP status, null when there was no answer. */
  readonly status: number | null;
  readonly detail: Detail;
}

export interface Row {
  readonly [field: string]: unknown;
}

export interface Model extends Row {
  readonly slug: string;
  readonly display_name: string;
  readonly modality?: string;
  readonly context_window?: number;
  readonly max_output_tokens?: number;
  readonly description?: string;
  readonly status?: string;
  readonly health_status?: string;
  readonly owned_by?: string;
}

export interface Queue extends Row {
  readonly id: string;
  readonly scope_id?: string;
  readonly slug?: string;
  readonly display_name?: string;
  readonly consumer_mode?: string;
  readonly max_retries?: number;
}

export interface Bunker extends Row {
  readonly bunker_id: string;
  readonly image_ref?: string;
  readonly lifecycle?: string;
  readonly status?: string;
}

/** What every picker has of a form field. */
export interface FormField extends HTMLElement {
  value: string;
  name: string;
  required: boolean;
  disabled: boolean;
  readonly type: string;
  readonly form: HTMLFormElement | null;
  readonly validity: ValidityState;
  readonly validationMessage: string;
  readonly willValidate: boolean;
  checkValidity(): boolean;
  reportValidity(): boolean;
}

/** What every picker has besides. Events: `input`, `change`, `scai-load`, `scai-error`. */
export interface Picker<R extends Row = Row> extends FormField {
  token: Token | null;
  /** The chosen row, null while it is not known. */
  readonly row: R | null;
  /** Every row that may be chosen. */
  readonly rows: readonly R[];
  /** Why the last question failed, null when it did not. */
  readonly error: LookupError | null;
  /** Ask again now. */
  refresh(): void;
}

export interface LookupPickerElement<R extends Row = Row> extends Picker<R> {
  src: string;
}

export interface QueuePickerElement extends Picker<Queue> {
  scope: string;
}

export const LookupPicker: { new (): LookupPickerElement };
export const ModelPicker: { new (): LookupPickerElement<Model> };
export const BunkerPicker: { new (): LookupPickerElement<Bunker> };
export const QueuePicker: { new (): QueuePickerElement };

export interface PickerEvents {
  "scai-load": CustomEvent<{ rows: number; meta: { truncated?: boolean; stale?: boolean; dropped?: number } }>;
  "scai-error": CustomEvent<Detail>;
}

declare global {
  interface HTMLElementTagNameMap {
    "scai-lookup-picker": LookupPickerElement;
    "scai-model-picker": LookupPickerElement<Model>;
    "scai-queue-picker": QueuePickerElement;
    "scai-bunker-picker": LookupPickerElement<Bunker>;
  }
  interface HTMLElementEventMap extends PickerEvents {}
}
