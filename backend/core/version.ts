// The version of this software, as every component announces it. It must be the one of package.json: a test compares them.

export const VERSION = '0.2.0';
