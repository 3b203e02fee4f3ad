# heapcatch's stack, deployed by Terraform or OpenTofu: uploads the functions' code and wraps the CloudFormation template, so that
# both ways deploy the same. `npm run build:release -- --stage STAGE` makes what release_folder names.

locals {
  template = "${var.release_folder}/heapcatch.template.json"
  files    = toset(["capture.zip", "seal.zip", "sweep.zip"])

  # Another prefix for each version of the code: a key that changes is what makes CloudFormation update a function.
  version = substr(sha256(join("", concat(
    [for file in sort(tolist(local.files)) : filesha256("${var.release_folder}/${file}")],
    [filesha256(local.template)],
  ))), 0, 16)
  prefix = "heapcatch/${var.stage}/${local.version}/"

  parameters = {
    AgentImage           = var.agent_image
    AgentNamespace       = var.agent_namespace
    AgentCommand         = var.agent_command
    DefaultClusterName   = var.default_cluster_name
    PublicS3Endpoint     = var.public_s3_endpoint
    EncryptionKeyArn     = var.encryption_key_arn
    AllowPlainHttp       = tostring(var.allow_plain_http)
    RetentionDays        = tostring(var.retention_days)
    DefaultRetentionDays = var.default_retention_days
    LogRetentionDays     = tostring(var.log_retention_days)
    SubnetIds            = join(",", var.subnet_ids)
    SecurityGroupIds     = join(",", var.security_group_ids)
    DataKeyArn           = var.data_key_arn
    BucketName           = var.bucket_name
    ObjectLockMode       = var.object_lock_mode
    ObjectLockDays       = tostring(var.object_lock_days)
    EventBusName         = var.event_bus_name
    AlarmTopicArn        = var.alarm_topic_arn
    DumpReaderArns       = join(",", var.dump_reader_arns)
    ReadersOnly          = tostring(var.readers_only)
    ArtifactBucket       = aws_s3_bucket.artifacts.id
    ArtifactPrefix       = local.prefix
  }
}

resource "aws_s3_bucket" "artifacts" {
  bucket_prefix = "heapcatch-${var.stage}-code-"
  force_destroy = true
  tags          = var.tags
}

resource "aws_s3_bucket_public_access_block" "artifacts" {
  bucket                  = aws_s3_bucket.artifacts.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_object" "code" {
  for_each = local.files
  bucket   = aws_s3_bucket.artifacts.id
  key      = "${local.prefix}${each.key}"
  source   = "${var.release_folder}/${each.key}"

  lifecycle {
    create_before_destroy = true
  }
}

# Over the 51,200 bytes that a request may hold.
resource "aws_s3_object" "template" {
  bucket       = aws_s3_bucket.artifacts.id
  key          = "${local.prefix}heapcatch.template.json"
  source       = local.template
  content_type = "application/json"

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_cloudformation_stack" "heapcatch" {
  name         = "heapcatch-${var.stage}"
  template_url = "https://${aws_s3_bucket.artifacts.bucket_regional_domain_name}/${aws_s3_object.template.key}"
  parameters   = local.parameters
  capabilities = ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"]
  tags         = merge({ application = "heapcatch", stage = var.stage }, var.tags)

  depends_on = [aws_s3_object.code]
}
