// @ts-check
/** Templates in plain JavaScript. */
import htm from "htm";
import { h } from "preact";

/** The types of htm name no module that is the function itself. @type {any} */
const template = htm;

/** @type {(strings: TemplateStringsArray, ...values: unknown[]) => import("preact").VNode} */
export const html = template.bind(h);
