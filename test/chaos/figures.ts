export interface FigureRow {
  readonly name: string;
}
