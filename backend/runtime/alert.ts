// What an alert is. It must never know a condition.

export type AlertSeverity = 'low' | 'medium' | 'high';

export interface Alert {
  /** The same as long as the cause lasts, at every gateway. */
  readonly uuid: string;
  /** Such as `SDS_DISCONNECTED`. */
  readonly type: string;
  readonly severity: AlertSeverity;
  /** Type and key of the object that it is about. */
  readonly objectType: string;
  readonly objectKey: number;
  readonly values: Readonly<Record<string, string | number>>;
  /** Wall clock of the cause as far as it is known, otherwise of the question. */
  readonly sinceMs: number;
}

/** An alert as a condition finds it. */
export type Finding = Omit<Alert, 'uuid' | 'sinceMs'> & { readonly sinceMs: number | null };
