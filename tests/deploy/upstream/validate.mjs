// Judges custom resources by their definitions upstream, which these packages carry, compiled: a list of objects as JSON
// on stdin, one line for each that is wrong on stdout.
import { readFileSync } from "node:fs";

const packages = {
  "cert-manager.io": "cert-manager",
  "cloud.google.com": "gke",
  "keda.sh": "keda",
  "monitoring.coreos.com": "prometheus-operator",
};

for (const object of JSON.parse(readFileSync(0, "utf8"))) {
  const [group] = object.apiVersion.split("/");
  const models = await import(`@kubernetes-models/${packages[group]}/${object.apiVersion}`);
  try {
    new models[object.kind](object).validate();
  } catch (error) {
    console.log(`${object.kind}: ${error.message}`);
  }
}
