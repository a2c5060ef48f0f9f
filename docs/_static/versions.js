// the versions that stand side by side; written anew by docs/versions.py, and empty where a site stands alone
window.alsVersions = [];
