/** A file that cannot be cut into pieces; it is decoded as a whole. */
export class Unfit extends Error {}
